"""What is to be done: recipes, their operators bound and keyed. Imports no array library."""

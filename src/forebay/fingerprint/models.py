"""Describers of models and tokenizers."""

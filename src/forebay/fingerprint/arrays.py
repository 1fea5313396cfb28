"""Describers of arrays and tables: numpy, Arrow, pandas, polars."""

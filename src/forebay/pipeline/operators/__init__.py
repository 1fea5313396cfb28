"""Native operators: Data-Juicer's names, parameters and results, computed over whole columns.

`listing` holds what each operator is (plain data, no arrays); the other modules hold the computing classes and import
numpy and pyarrow. Nothing is imported here, so that planning stays cheap.
"""

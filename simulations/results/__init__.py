"""What a run has shown: figures, tables for notebooks, and the report of the demo."""

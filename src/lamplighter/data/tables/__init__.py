"""Tables on disk: reading CSV and Parquet, telling column types apart, turning columns into numbers. Without torch."""

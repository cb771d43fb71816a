"""dirjax from Python: data frames and arrays in, models and answers out."""

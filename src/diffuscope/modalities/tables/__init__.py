"""Tables: columns of any kind, with missing values and a target."""

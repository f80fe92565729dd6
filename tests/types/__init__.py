"""What type checkers say of the package, of every example and of every Python block in the documentation."""

"""What extends roles without being part of the programming model."""

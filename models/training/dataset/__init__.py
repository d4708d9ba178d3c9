"""What is trained on and judged by: faces with labels and votes, and how the program frames them."""

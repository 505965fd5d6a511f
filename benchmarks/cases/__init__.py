"""Each kernel at work, next to NumPy's way to the same result, with its flops and bytes."""

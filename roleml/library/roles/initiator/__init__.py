"""Starting by itself: clients register at a server, which begins when there are enough of them."""

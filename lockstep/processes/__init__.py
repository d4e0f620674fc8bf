"""A parent and its child: what runs in a process of its own, and what the two say."""

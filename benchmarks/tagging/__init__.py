"""What tagging gains by a second task, in one language and in two that mix."""

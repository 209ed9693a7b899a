"""Tables in a law's own layout: New York City's bias audit and the federal four-fifths rule."""

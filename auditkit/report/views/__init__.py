"""What each section shows: functions from the result and the book to the names that a section's template uses."""

"""One file for each piece of work: what is asked, what retraining says, and how an answer is scored."""

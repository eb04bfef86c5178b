"""Is a training done? The loss that cannot be avoided, and a look at a network while its loop trains it."""

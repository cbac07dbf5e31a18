"""What operators do by hand beside a daemon: replay, dead-letter queues, a look at a source, one invocation."""

"""The way from the log to those who are behind: what is fed, read and told when it is gone."""

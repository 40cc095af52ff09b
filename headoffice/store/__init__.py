"""Where head office keeps what stations told it: the only files here that touch a database."""

//! The command line of WCP360: a client of the API and nothing else.

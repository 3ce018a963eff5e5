"""The vocabulary of handicapper: messages and errors. Imports nothing else of ours."""

"""What is signed, how long, how absence is proved; the verification before publishing."""

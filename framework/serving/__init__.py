"""The request pipeline and the HTTP application that every serving backend shares."""

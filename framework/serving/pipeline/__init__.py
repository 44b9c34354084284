"""One request from its body to its forecast: validate, retrieve, preprocess, predict, render."""

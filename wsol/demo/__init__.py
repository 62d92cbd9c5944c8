"""The local web page of `wsol-demo`: an image in, all steps side by side, a fade between them."""

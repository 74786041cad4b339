"""Does it find what people call similar? Metrics against known labels and against chance."""

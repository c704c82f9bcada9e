"""How models are fitted in these tests."""

FIT = {"epochs": 5, "batch_size": 32, "lr": 0.05}

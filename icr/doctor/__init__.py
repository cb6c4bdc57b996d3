"""Before an expensive run: is the model pair sound, do the prompts fit, what will it need and how long will it take."""

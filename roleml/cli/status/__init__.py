"""`roleml status` and `roleml top`: how the actors of an application are."""

"""Relationships as attributes: ``self.trainer.service_all('apply-update', ...)``."""

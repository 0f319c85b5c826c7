"""RoleML: a role-oriented runtime for distributed machine learning.

Application code starts with ``import roleml.essentials as rml``.
"""

from __future__ import annotations

import logging

from roleml import legacy

__all__ = ["LOG_LEVEL_INTERNAL", "__version__"]

__version__ = "0.4.0.dev0"

#: Below DEBUG: the runtime's own conversation (subscriptions, presence, envelopes).
LOG_LEVEL_INTERNAL = 5

logging.addLevelName(LOG_LEVEL_INTERNAL, "INTERNAL")
legacy.install()

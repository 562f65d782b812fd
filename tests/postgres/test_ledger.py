"""What the Ledger promises on SQLite, it promises on PostgreSQL."""

from tests.unit.test_job_search import *  # noqa: F403
from tests.unit.test_ledger import *  # noqa: F403
from tests.unit.test_ledger_alarms import *  # noqa: F403
from tests.unit.test_ledger_budgets import *  # noqa: F403
from tests.unit.test_ledger_idempotency import *  # noqa: F403
from tests.unit.test_ledger_keys import *  # noqa: F403
from tests.unit.test_ledger_measures import *  # noqa: F403
from tests.unit.test_ledger_media import *  # noqa: F403
from tests.unit.test_ledger_models import *  # noqa: F403
from tests.unit.test_ledger_shares import *  # noqa: F403
from tests.unit.test_ledger_usage import *  # noqa: F403
from tests.unit.test_ledger_webhooks import *  # noqa: F403
from tests.unit.test_removal import *  # noqa: F403
from tests.unit.test_tallies import *  # noqa: F403
from tests.unit.test_usage_days import *  # noqa: F403

# They read SQLite's own plan, and its file.
del test_usage_is_found_by_its_index  # noqa: F821
del test_what_is_removed_is_in_no_byte_of_the_files  # noqa: F821

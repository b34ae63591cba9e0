"""The options of ``vault_reencrypt``, as its help shows them."""

from django.core.management.base import CommandParser
from django.db import connections

from django_workos_vault.maintenance.operations import NAMES
from django_workos_vault.management.output import positive


def add_arguments(parser: CommandParser) -> None:
    """Declare every option there is."""
    parser.add_argument(
        "targets", metavar="app[.Model[.field]]", nargs="*", help="a file field is named by itself"
    )
    parser.add_argument("--all", action="store_true", help="every encrypted column there is")
    parser.add_argument("--operation", choices=NAMES, default="reseal", help="(reseal)")
    parser.add_argument(
        "--rekey",
        action="store_true",
        help="only wrap the data keys again, under the key contexts that the fields give now",
    )
    parser.add_argument("--from-vault", metavar="ALIAS", help="whose cells to move")
    parser.add_argument("--plain", metavar="FIELD", help="the column to encrypt from, or to decrypt into")
    parser.add_argument("--database", choices=list(connections), help="alias (where the model is written)")
    parser.add_argument(
        "--where", metavar="NAME=VALUE", help="rows of one key context, or of one value of a plain column"
    )
    parser.add_argument(
        "--plan", action="store_true", help="tell what would be found and what it costs; write nothing"
    )
    parser.add_argument("--start-after", metavar="PK", help="begin behind this row of the one model")
    parser.add_argument("--dry-run", action="store_true", help="open every cell, write nothing, make no key")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    pace = parser.add_argument_group("how fast")
    pace.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (1)")
    pace.add_argument("--batch-size", type=positive, metavar="ROWS", help="(steers itself)")
    pace.add_argument("--batch-seconds", type=float, default=0.5, metavar="S", help="what it aims at (0.5)")
    pace.add_argument("--max-rows-per-second", type=positive, metavar="N", help="(no limit)")
    pace.add_argument("--max-requests-per-second", type=positive, metavar="N", help="to Vault (no limit)")
    pace.add_argument("--verify", action="store_true", help="open every new cell again, not a sample")
    queue = parser.add_argument_group("on a queue, --workers tasks at a time")
    queues = queue.add_mutually_exclusive_group()
    queues.add_argument("--celery", action="store_true", help="send the chunks to Celery's workers")
    queues.add_argument("--tasks", action="store_true", help="and to those of Django's tasks framework")
    on_record = parser.add_argument_group("runs on record")
    on_record.add_argument("--list", action="store_true", help="show the newest runs")
    on_record.add_argument("--status", type=positive, metavar="RUN", help="show one")
    on_record.add_argument("--pause", type=positive, metavar="RUN", help="stop one within a batch")
    on_record.add_argument("--resume", type=positive, metavar="RUN", help="go on with one")
    on_record.add_argument("--cancel", type=positive, metavar="RUN", help="end one for good")

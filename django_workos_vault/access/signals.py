"""What is sent of each access record once it is written."""

from django.dispatch import Signal

#: Sent with ``record``, an ``AccessRecord``, once it is stored. A receiver that fails is logged, no more.
access_recorded = Signal()

"""The store against a perfect model."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from forebay.testing.store_machine import StoreStateMachine

LIMITS = settings(
    max_examples=25, stateful_step_count=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


class WithBudget(StoreStateMachine):
    max_bytes = 22_000


class WithTightBudget(StoreStateMachine):
    max_bytes = 11_000


TestMachine = StoreStateMachine.TestCase
TestMachine.settings = LIMITS
TestMachineWithBudget = WithBudget.TestCase
TestMachineWithBudget.settings = LIMITS
TestMachineWithTightBudget = WithTightBudget.TestCase
TestMachineWithTightBudget.settings = LIMITS

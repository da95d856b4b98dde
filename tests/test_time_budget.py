"""Training by the clock: it ends when the time is spent, and evaluating costs none of it."""
import time
from types import SimpleNamespace

from transformers import TrainerControl, TrainerState

from ppde_nbdev.distill import TimeBudget


def test_time_is_spent_by_steps_and_not_by_evaluations():
    budget, control = TimeBudget(0.2), TrainerControl()
    arguments, state = SimpleNamespace(device="cpu", eval_strategy="no"), TrainerState(stateful_callbacks={"TimeBudget": budget.state()})
    budget.on_train_begin(arguments, state, control)
    time.sleep(0.3)
    budget.on_evaluate(arguments, state, control)
    budget.on_step_end(arguments, state, control)
    assert not control.should_training_stop and budget.spent() < 1
    time.sleep(0.3)
    budget.on_step_end(arguments, state, control)
    assert control.should_training_stop and budget.spent() >= 1

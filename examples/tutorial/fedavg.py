# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Federated averaging from scratch
#
# Five people each keep a stack of handwritten digits that never leaves their desk. Together they want
# one model that reads all digits. Federated averaging ([McMahan et al.,
# 2017](https://arxiv.org/abs/1602.05629)) does it: a server sends the model out, a few people improve
# it on their own stack, the server averages what comes back, and so on.
#
# Here you write that algorithm with RoleML, from the first line, and run it. It takes a few seconds;
# you need numpy and scikit-learn, and no download: the digits ship with scikit-learn.
#
# The plan: *what* is learned (a model and data), *who does what* (roles), and only then *where it
# runs* (actors).

# %%
from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from sklearn.datasets import load_digits

import roleml.essentials as rml

# %% [markdown]
# ## What is learned
#
# The data: 1,797 images of 8 x 8 pixels. We keep 360 for testing and deal the others to five stacks.
# To make it interesting, the deal is unfair: nearly three quarters of the 0s and 1s go to the first
# stack, of the 2s and 3s to the second, and so on.

# %%
STACKS = 5


def load_stack(number: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 64) between 0 and 1 and labels (n,) of one stack; `None` means the test set."""
    pixels, labels = load_digits(return_X_y=True)
    shuffle = np.random.default_rng(7)
    order = shuffle.permutation(len(labels))
    pixels, labels = pixels[order] / 16, labels[order]
    if number is None:
        return pixels[:360], labels[:360]
    pixels, labels = pixels[360:], labels[360:]
    anywhere = shuffle.integers(0, STACKS, len(labels))
    owner = np.where(shuffle.random(len(labels)) < 2 / 3, labels // 2, anywhere)
    return pixels[owner == number], labels[owner == number]


# %% [markdown]
# The model: softmax regression, the smallest one that is worth averaging. One matrix turns 64 pixels
# and a constant 1 into ten scores.


# %%
class SoftmaxRegression:
    def __init__(self, learning_rate: float = 0.3, batch_size: int = 16) -> None:
        self.weights = np.zeros((65, 10))
        self.learning_rate = learning_rate
        self.batch_size = batch_size

    def fit_once(self, pixels: np.ndarray, labels: np.ndarray) -> float:
        """One pass over the data by gradient descent in batches; returns the mean loss."""
        losses = []
        for start in range(0, len(labels), self.batch_size):
            x = with_constant(pixels[start : start + self.batch_size])
            y = labels[start : start + self.batch_size]
            probability = softmax(x @ self.weights)
            losses.append(-np.log(probability[range(len(y)), y]).mean())
            probability[range(len(y)), y] -= 1  # now it is the gradient of the scores
            self.weights -= self.learning_rate * x.T @ probability / len(y)
        return float(np.mean(losses))

    def accuracy(self, pixels: np.ndarray, labels: np.ndarray) -> float:
        return float(np.mean((with_constant(pixels) @ self.weights).argmax(axis=1) == labels))


def with_constant(pixels: np.ndarray) -> np.ndarray:
    return np.hstack([pixels, np.ones((len(pixels), 1))])


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# %% [markdown]
# ## Who does what
#
# A *role* is one responsibility. It is a class whose methods others may call, wherever they are, and
# it says what it needs without knowing where that comes from.
#
# ### The learner
#
# A learner has a model and a stack. Both are *elements*: declared here with the type they must have,
# provided later by the configuration. `self.model()` gives the object; the first call makes it.
#
# It can be asked for one thing, to `improve` some weights. This takes a while, so it is a *task*: the
# caller gets a receipt at once and the result later. With `expand=True` the entries of the message
# arrive as keyword arguments, behind the caller's id.


# %%
@runtime_checkable
class Trainable(Protocol):
    """Any model will do for a learner, as long as it has these."""

    weights: np.ndarray

    def fit_once(self, pixels: np.ndarray, labels: np.ndarray) -> float: ...


class Learner(rml.Role):
    model: rml.Element[Trainable] = rml.Element(Trainable)
    stack: rml.Element[tuple] = rml.Element(tuple)

    @rml.Task(expand=True)
    def improve(self, _caller: rml.RoleInstanceID, weights: np.ndarray, passes: int) -> dict[str, Any]:
        model, (pixels, labels) = self.model(), self.stack()
        model.weights = weights
        for _ in range(passes):
            model.fit_once(pixels, labels)
        return {"weights": model.weights, "samples": len(labels)}


# %% [markdown]
# ### The picker
#
# Not everybody takes part in every round. Who does is a decision of its own, so it is a role of its
# own, and can be replaced by a cleverer one without touching the rest. It answers at once: a
# *service*.
#
# It picks among the members of the *relationship* `learner`. A relationship is a name for "those I
# deal with"; who they are is again a matter of configuration.


# %%
class Picker(rml.Role):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)

    @rml.Service(expand=True)
    def pick(self, _caller: rml.RoleInstanceID, count: int) -> list[rml.RoleInstanceID]:
        everybody = sorted(self.ctx.relationships.get_relationship_view("learner"))
        self.require(count <= len(everybody), f"cannot pick {count} of {len(everybody)} learners")
        chosen = self.random.choice(len(everybody), size=count, replace=False)
        return [everybody[index] for index in sorted(chosen)]


# %% [markdown]
# ### The averager
#
# Now the algorithm itself. Read `run` beside the paper's pseudo-code: pick, send, wait, average,
# test.
#
# `call_task_group` asks all chosen learners at once. Their results arrive in any order and from
# several threads; a `TaskResultCollector` takes them in and hands them over when the last one is
# there. The average weighs each learner by its number of samples.
#
# After each round it says how it went, through an *event*. It does not know who listens.

# %%
from roleml.core.actor.group.util.collections import TaskResultCollector
from roleml.shared.collections.merger import DictKeyValueMerger


class Averager(rml.Role):
    model: rml.Element[SoftmaxRegression] = rml.Element(SoftmaxRegression)
    test_set: rml.Element[tuple] = rml.Element(tuple)

    averaged = rml.Event()

    @rml.Task(expand=True)
    def run(self, _caller: rml.RoleInstanceID, rounds: int, count: int, passes: int = 1) -> None:
        model = self.model()
        for number in range(1, rounds + 1):
            chosen = self.call("picker", "pick", {"count": count})
            results = TaskResultCollector(
                chosen, merger=DictKeyValueMerger(), on_error=rml.ErrorHandlingStrategy.RAISE_FIRST
            )
            self.call_task_group(
                chosen, "improve", {"passes": passes}, {"weights": model.weights}, on_result=results.push
            )
            model.weights = weighted_mean(results.result())
            accuracy = model.accuracy(*self.test_set())
            names = [learner.actor_name for learner in chosen]
            self.averaged.emit({"number": number, "accuracy": accuracy, "chosen": names})


def weighted_mean(results: dict[rml.RoleInstanceID, dict[str, Any]]) -> np.ndarray:
    # sorted: the sum must not depend on who was faster
    ordered = [results[learner] for learner in sorted(results)]
    total = sum(result["samples"] for result in ordered)
    return sum(result["weights"] * (result["samples"] / total) for result in ordered)


# %% [markdown]
# ### The experimenter
#
# Somebody must start the run, and somebody wants to see how it goes. A role that is `Runnable` gets a
# thread of its own as soon as it is ready. `@EventHandler` subscribes to the event of everybody in a
# relationship, here of the one averager.

# %%
from concurrent.futures import Future


class Experimenter(rml.Role, rml.Runnable):
    def __init__(self, rounds: int, count: int) -> None:
        super().__init__()
        self.rounds, self.count = rounds, count
        self.accuracies: list[float] = []
        self.curve: Future[list[float]] = Future()

    def run(self) -> None:
        self.call_task("averager", "run", {"rounds": self.rounds, "count": self.count}).result()

    @rml.EventHandler("averager", "averaged", expand=True)
    def note(self, _averager: rml.RoleInstanceID, number: int, accuracy: float, chosen: list[str]) -> None:
        self.accuracies.append(accuracy)
        print(f"round {number:2}  {'█' * int(accuracy * 40):40}  {accuracy:.3f}  {' '.join(chosen)}")
        if number == self.rounds:
            self.curve.set_result(self.accuracies)


# %% [markdown]
# ## Where it runs
#
# So far nothing was said about machines. An *actor* is one node: a name, some roles, and its
# relationships. Here are seven: five desks, a server, and a laptop that watches. They are plain
# dictionaries; in a project you keep them in YAML files, where classes are written by their dotted
# names.
#
# `server/averager` reads: the role `averager` of the actor `server`. The averager calls its `picker`
# by a name that the server's relationships do not list: then the role of that name on the same actor
# is meant.

# %%
learners = [f"desk{number}/learner" for number in range(STACKS)]

desks = [
    {
        "name": f"desk{number}",
        "roles": {
            "learner": {
                "class": Learner,
                "impl": {
                    "model": {"class": SoftmaxRegression, "constructor_args": {"learning_rate": 0.3}},
                    "stack": {"constructor": load_stack, "constructor_args": {"number": number}},
                },
            }
        },
    }
    for number in range(STACKS)
]

server = {
    "name": "server",
    "relationships": {"learner": learners},
    "roles": {
        "picker": {"class": Picker, "options": {"seed": 3}},
        "averager": {
            "class": Averager,
            "impl": {
                "model": {"class": SoftmaxRegression},
                "test_set": {"constructor": load_stack, "constructor_args": {"number": None}},
            },
        },
    },
}

laptop = {
    "name": "laptop",
    "relationships": {"averager": "server/averager"},
    "roles": {"experimenter": {"class": Experimenter, "options": {"rounds": 20, "count": 3}}},
}


# %% [markdown]
# Build them, then start them. Those that are called must be there before those that call: the laptop
# comes last, and since its experimenter runs by itself, so does everything else.


# %%
def build(config: dict[str, Any]) -> rml.Actor:
    builder = rml.ActorBuilder()
    builder.load_config({**config, "log_console_level": "WARNING"})
    return builder.build()


actors = [build(config) for config in [*desks, server, laptop]]
for actor in actors:
    actor.start()

curve = actors[-1].roles["experimenter"].curve.result(timeout=60)

for actor in reversed(actors):
    actor.stop()

# %% [markdown]
# Did it pay? Each desk could have trained alone, on digits it mostly has two kinds of. Together they
# are far better, and no image left its desk.


# %%
def alone(number: int, passes: int = 20) -> float:
    model = SoftmaxRegression()
    for _ in range(passes):
        model.fit_once(*load_stack(number))
    return model.accuracy(*load_stack(None))


for number in range(STACKS):
    print(f"desk{number} alone {alone(number):.3f}")
print(f"together    {curve[-1]:.3f}")

# %% [markdown]
# ## What to try
#
# * Move `picker` to an actor of its own: give the server the relationship
#   `{"picker": "some-actor/picker"}` and build that actor too. No role changes.
# * Let an unfair picker choose those with the most samples. It needs to know how many: give the learner
#   a service that says so.
# * Replace `SoftmaxRegression` by a network of your own. A learner takes any model that has `weights`
#   and `fit_once`; for more, look at `roleml.library`, which has the roles of this page ready-made.
# * `roleml demo` is the same algorithm with these ready-made roles, and its configuration in a file.

"""Topics 13 to 22: training and optimisation."""

from __future__ import annotations

from lamplighter.topics.model import Idea, Topic

OPTIMISATION: tuple[Topic, ...] = (
    Topic(
        number=13,
        title="Gradient descent",
        lesson="lessons/13_gradient_descent.py",
        components=("optimizer:sgd",),
        tests=("tests/optim/optimizers/test_sgd.py", "tests/contract/test_optimizer.py"),
        ideas=(
            Idea(
                "iterative steps against the gradient",
                "tests/optim/optimizers/test_sgd.py::test_sgd_is_its_recurrence",
            ),
            Idea(
                "quadratic (x-3)^2 + 2 minimised by hand",
                "tests/optim/optimizers/test_sgd.py::test_points_on_the_way_down_a_parabola",
            ),
            Idea("update without gradient recording, gradients zeroed"),
            Idea("history of points and values"),
            Idea(
                "convergence to the minimum",
                "tests/optim/optimizers/test_sgd.py::test_the_closed_form_on_a_parabola",
            ),
            Idea("stochastic: one example a step"),
            Idea("mini-batch: a subset a step", "lamplighter.data.loader:Loader"),
            Idea("full batch: all rows a step"),
            Idea("momentum", "optimizer:sgd"),
            Idea("the gradient points to the steepest ascent"),
        ),
    ),
    Topic(
        number=14,
        title="The Adam optimizer",
        lesson="lessons/14_adam.py",
        components=("optimizer:adam", "optimizer:adamw"),
        tests=("tests/optim/optimizers/test_adam.py", "tests/contract/test_optimizer.py"),
        ideas=(
            Idea("learning rate adapted for each parameter", "optimizer:adamw"),
            Idea("first moment (momentum), beta1 0.9", "optimizer:adamw"),
            Idea("second moment (RMSprop), beta2 0.999", "optimizer:adamw"),
            Idea(
                "bias correction of both moments",
                "tests/optim/optimizers/test_adam.py::test_adam_and_adamw_are_their_recurrences",
            ),
            Idea("epsilon in the denominator", "optimizer:adamw"),
            Idea("Adam in full", "tests/optim/optimizers/test_adam.py::test_adam_and_adamw_are_their_recurrences"),
            Idea("SGD against Adam on one problem"),
            Idea("optimizer rebuilt from another's defaults"),
            Idea("when SGD is better: tuned rate and schedule"),
        ),
    ),
    Topic(
        number=15,
        title="Gradient clipping",
        lesson="lessons/15_gradient_clipping.py",
        components=("clip:norm", "clip:value", "clip:adaptive"),
        tests=("tests/optim/test_clipping.py", "tests/contract/test_clip.py"),
        ideas=(
            Idea(
                "exploding gradients in RNNs, LSTMs and very deep networks",
                "tests/optim/test_clipping.py::test_exploding_gradients_of_a_recurrent_network_are_clipped",
            ),
            Idea("clipping by norm (clip_grad_norm_), max_norm", "clip:norm"),
            Idea(
                "all gradients scaled in proportion",
                "tests/optim/test_clipping.py::test_norm_keeps_the_direction_and_value_does_not",
            ),
            Idea(
                "norm before clipping reported",
                "tests/contract/test_clip.py::test_returns_the_norm_before_as_a_tensor_without_dimensions",
            ),
            Idea("clipping by value (clip_grad_value_)", "clip:value"),
            Idea(
                "three-layer LSTM under clipping",
                "tests/optim/test_clipping.py::test_a_three_layer_lstm_is_clipped_in_the_step_that_needs_it",
            ),
            Idea("sequence modelling needs it most"),
        ),
    ),
    Topic(
        number=16,
        title="Regularisation",
        lesson="lessons/16_regularisation.py",
        components=("optimizer:adamw", "optimizer:proximal-sgd", "augment:random-flip"),
        tests=("tests/optim/test_groups.py", "tests/optim/optimizers/test_proximal.py", "tests/optim/test_sam.py"),
        ideas=(
            Idea("constraints against overfitting"),
            Idea("L2 regularisation", "optimizer:sgd"),
            Idea(
                "weight decay built into the optimizer",
                "tests/optim/optimizers/test_adam.py::test_adams_decay_is_a_penalty_and_adamws_is_not",
            ),
            Idea(
                "L1 penalty added to the loss",
                "tests/optim/optimizers/test_proximal.py::test_a_penalty_in_the_loss_reaches_no_zero",
            ),
            Idea("L1 gives sparse weights, L2 shrinks them", "optimizer:proximal-sgd"),
            Idea("data augmentation as regularisation", "augment:random-shift"),
            Idea("random horizontal flip", "augment:random-flip"),
            Idea("random rotation"),
            Idea("several transforms in a row (Compose)", "lamplighter.train.trainer:Trainer"),
        ),
    ),
    Topic(
        number=17,
        title="Early stopping",
        lesson="lessons/17_early_stopping.py",
        components=("callback:early-stopping",),
        tests=(
            "tests/train/callbacks/test_early_stopping.py",
            "tests/train/test_trainer.py",
            "tests/contract/test_callback.py",
        ),
        ideas=(
            Idea("stop when the validation loss no longer improves", "callback:early-stopping"),
            Idea("patience: epochs to wait", "callback:early-stopping"),
            Idea("min_delta: smallest improvement that counts", "callback:early-stopping"),
            Idea(
                "best value and counter of epochs without improvement",
                "lamplighter.train.callbacks.early_stopping:EarlyStopping.state_dict",
            ),
            Idea(
                "training and validation phase in every epoch, train and eval mode", "lamplighter.train.trainer:Trainer"
            ),
            Idea("batches from a loader, for training and for validation", "lamplighter.data.loader:Loader"),
            Idea(
                "criterion: validation loss or accuracy",
                "tests/train/test_trainer.py::test_the_recipe_decides_what_is_best",
            ),
            Idea(
                "keep the best model, not the last",
                "tests/train/callbacks/test_early_stopping.py"
                "::test_what_is_kept_after_the_stop_is_the_best_of_the_history_bit_for_bit",
            ),
        ),
    ),
    Topic(
        number=18,
        title="Learning-rate finder",
        lesson="lessons/18_lr_finder.py",
        components=("lamplighter.train.lr_finder:find_lr", "lamplighter.evaluate.lr_picture:picture"),
        tests=("tests/train/test_lr_finder.py", "tests/train/test_lr_curve.py", "tests/train/test_lr_auto.py"),
        ideas=(
            Idea(
                "range test: rate raised exponentially from start_lr to end_lr", "lamplighter.train.lr_finder:find_lr"
            ),
            Idea(
                "number of iterations (num_iter)",
                "tests/train/test_lr_finder.py::test_the_sweep_goes_from_the_first_to_the_last_rate_exactly",
            ),
            Idea("exponential schedule with gamma from the range", "lamplighter.train.lr_curve:sweep"),
            Idea("rate and loss recorded at each step", "lamplighter.train.lr_curve:LRCurve"),
            Idea("stop when the loss explodes", "lamplighter.train.lr_curve:diverged"),
            Idea("suggestion: steepest fall of the loss", "lamplighter.train.lr_curve:steep"),
            Idea("suggestion: one order of magnitude below the maximum", "lamplighter.train.lr_curve:tenth_of_minimum"),
        ),
    ),
    Topic(
        number=19,
        title="MixUp and CutMix",
        lesson="lessons/19_mixup_cutmix.py",
        components=("callback:mixup", "callback:cutmix", "callback:mixup-cutmix"),
        tests=(
            "tests/train/callbacks/test_mixing.py",
            "tests/train/callbacks/test_mixed.py",
            "tests/train/callbacks/test_learning.py",
        ),
        ideas=(
            Idea("MixUp: linear interpolation of images", "lamplighter.train.callbacks.mixing:blend"),
            Idea("MixUp: mixed labels", "lamplighter.train.callbacks.mixing:mix_targets"),
            Idea("coefficient from Beta(alpha, alpha)", "lamplighter.train.callbacks.mixing:symmetric_beta"),
            Idea("partner by random permutation of the batch", "lamplighter.train.callbacks.mixing:partners"),
            Idea("CutMix: rectangle of one image pasted into another", "lamplighter.train.callbacks.mixing:box_masks"),
            Idea(
                "CutMix: both labels, weighted by area",
                "tests/train/callbacks/test_mixing.py::test_the_label_is_the_share_of_pixels_that_stayed",
            ),
            Idea("alpha controls the strength", "lamplighter.train.callbacks.mixup:Mixup"),
            Idea(
                "use in a training loop",
                "tests/train/callbacks/test_learning.py::test_mixup_and_cutmix_learn_less_of_wrong_labels_by_heart",
            ),
        ),
    ),
    Topic(
        number=20,
        title="Gradient accumulation",
        lesson="lessons/20_gradient_accumulation.py",
        components=("lamplighter.train.trainer:Trainer",),
        tests=("tests/train/test_trainer.py",),
        ideas=(
            Idea("emulates a batch that does not fit into memory", "lamplighter.train.trainer:Trainer"),
            Idea(
                "loss divided by the number of accumulation steps",
                "tests/train/test_trainer.py::test_accumulation_weighs_by_labelled_rows",
            ),
            Idea("optimizer step after every k micro-batches", "lamplighter.train.trainer:Trainer"),
            Idea(
                "effective batch size: micro-batch times steps",
                "tests/train/test_trainer.py::test_accumulation_equals_the_large_batch",
            ),
            Idea(
                "equal to training with the large batch",
                "tests/train/test_trainer.py::test_accumulation_equals_the_large_batch",
            ),
            Idea(
                "batch normalisation sees the micro-batch",
                "lamplighter.train.diagnostics.batch_norm:batch_norm_notes",
            ),
        ),
    ),
    Topic(
        number=21,
        title="Knowledge distillation",
        lesson="lessons/21_knowledge_distillation.py",
        components=("task:distillation", "lamplighter.tasks.teacher:Teacher"),
        tests=("tests/tasks/test_distillation.py", "tests/tasks/test_teacher.py"),
        ideas=(
            Idea("large teacher", "lamplighter.tasks.teacher:Teacher"),
            Idea("small student", "task:distillation"),
            Idea("soft targets from the teacher", "lamplighter.losses.kl:kl_divergence"),
            Idea("temperature", "loss:kl"),
            Idea(
                "KL divergence, scaled by the squared temperature",
                "tests/tasks/test_distillation.py::test_the_loss_is_the_formula",
            ),
            Idea("alpha: mix of soft and hard-label loss", "task:distillation"),
            Idea(
                "cross-entropy with the true labels",
                "tests/tasks/test_distillation.py::test_alpha_0_is_plain_training",
            ),
            Idea("teacher frozen, without gradients", "tests/tasks/test_teacher.py::test_nothing_of_the_teacher_moves"),
            Idea(
                "self-distillation",
                "tests/tasks/test_ensembles_in_runs.py::test_born_again_networks_teach_their_successors",
            ),
        ),
    ),
    Topic(
        number=22,
        title="Ensembles",
        lesson="lessons/22_ensembles.py",
        components=("task:ensemble", "lamplighter.run.ensembling:ensemble", "callback:snapshots"),
        tests=("tests/tasks/test_ensemble.py", "tests/metrics/test_ensembles.py", "tests/run/test_ensembling.py"),
        ideas=(
            Idea(
                "members of different architectures",
                "tests/tasks/test_ensemble.py::test_members_may_be_of_different_architectures_and_tasks",
            ),
            Idea("soft voting: mean probability", "lamplighter.metrics.ensembles:vote"),
            Idea(
                "hard voting: most frequent class",
                "tests/metrics/test_ensembles.py::test_of_equally_many_votes_the_first_class_wins",
            ),
            Idea("averaging", "lamplighter.metrics.ensembles:average"),
            Idea("weighted ensemble", "lamplighter.metrics.ensembles:fit_weights"),
            Idea("stacking", "lamplighter.run.out_of_fold:out_of_fold"),
            Idea("bagging", "lamplighter.tasks.ensemble:bootstrap_counts"),
            Idea("dropout as an ensemble", "lamplighter.evaluate.uncertainty:mc_dropout"),
            Idea("cost: N times the inference time", "lamplighter.evaluate.comparison:compare"),
        ),
    ),
)

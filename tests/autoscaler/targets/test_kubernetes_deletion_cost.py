from autoscaler.kubernetes.objects import Pod, is_marked, removal_cost
from autoscaler.targets.kubernetes_deletion_cost import cost_changes, patch, surplus_marks


def pod(name, cost=""):
    return Pod(name, {}, "", ready=True, terminating=False, created_s=0.0, cost=cost)


def test_the_first_to_go_has_the_lowest_cost():
    made = cost_changes([pod("a"), pod("b"), pod("c")], ["c", "a"])
    assert made.keys() == {"a", "c"}
    assert int(made["c"]) < int(made["a"]) < 0


def test_what_has_its_cost_already_is_not_written_again():
    assert cost_changes([pod("a", removal_cost(0))], ["a"]) == {}


def test_a_mark_of_ours_is_taken_from_who_stays_and_one_of_others_is_left():
    assert cost_changes([pod("a", removal_cost(3)), pod("b", "-5"), pod("c", "100")], []) == {"a": None}


def test_only_as_many_marks_stay_as_pods_are_too_many_and_the_pods_that_serve_lose_theirs_first():
    old, new = pod("old", removal_cost(1)), pod("new", removal_cost(0))._replace(ready=False)
    assert surplus_marks([old, new], 0) == []
    assert surplus_marks([old, new], 1) == ["old"], "as in a rolling update that makes one pod more"
    assert surplus_marks([old, new], 2) == ["old", "new"]
    assert surplus_marks([old, new, pod("busy")], 1) == []


def test_only_a_cost_that_we_would_write_is_our_mark():
    assert is_marked(pod("a", removal_cost(9999)))
    assert not any(is_marked(pod("a", cost)) for cost in ("", "-", "-1", "5", "1000000", "-1e6"))


def test_the_patch_touches_one_annotation():
    assert patch(None) == {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": None}}}

"""Whether an expression can find anything: its names, labels and values against what a daemon really shows."""

from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.promql import Tree

TARGET = {"job", "instance"}  # what Prometheus adds to each series that it scrapes


class Known:
    """The series of one exposition."""

    def __init__(self, exposition: str) -> None:
        self._series: dict[str, list[dict[str, str]]] = defaultdict(list, {"up": [{}]})  # that is Prometheus's own
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                self._series[sample.name].append(sample.labels)

    def labels(self, tree: Tree) -> set[str]:
        """The labels that the result may have; a scalar has none. Raises LookupError for what cannot be there."""
        match tree["is"]:
            case "number":
                return set()
            case "selector":
                return self._selected(tree)
            case "call":
                inside = set().union(*[self.labels(one) for one in tree["arguments"]])
                if tree["function"] == "histogram_quantile" and "le" not in inside:
                    raise LookupError("a quantile of what has no buckets")
                return inside - {"le"} if tree["function"] == "histogram_quantile" else inside
            case "aggregate":
                inside = self.labels(tree["of"])
                if missing := set(tree["labels"]) - inside:
                    raise LookupError(f"aggregated by {missing}, of which there are {sorted(inside)}")
                return set(tree["labels"]) if tree["by"] else inside - set(tree["labels"])
            case "binary":
                left, right = self.labels(tree["left"]), self.labels(tree["right"])
                wanted = set(tree["labels"]) if tree["on"] else set()
                if missing := (wanted - left) | (wanted - right):
                    raise LookupError(f"matched on {missing}, which one side does not have")
                return right if tree["left"]["is"] in {"number", "call"} and not left else left
        raise NotImplementedError(tree["is"])

    def _selected(self, tree: Tree) -> set[str]:
        series = self._series.get(tree["name"], [])
        if not series:
            raise LookupError(f"there is no metric {tree['name']}")
        for label, sign, value in tree["matchers"]:
            if label in TARGET or value.startswith("$"):
                if not any(label in one for one in series) and label not in TARGET:
                    raise LookupError(f"{tree['name']} has no label {label}")
                continue
            if not any(label in one for one in series):
                raise LookupError(f"{tree['name']} has no label {label}")
            there = {one.get(label, "") for one in series}
            if missing := set(value.split("|") if "~" in sign else [value]) - there:
                raise LookupError(f"{tree['name']} never has {label}={missing}, but {sorted(there)}")
        return set().union(*series) | TARGET

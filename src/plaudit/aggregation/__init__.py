"""From judgments to what models learn from: consensus, raters, targets, exchange of formats."""

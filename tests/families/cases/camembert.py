from roberta_kin import roberta_kin

CASES = roberta_kin("camembert", "camembert", "Camembert")

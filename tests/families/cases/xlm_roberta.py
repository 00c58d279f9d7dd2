from roberta_kin import roberta_kin

CASES = roberta_kin("xlm_roberta", "xlm-roberta", "XLMRoberta")

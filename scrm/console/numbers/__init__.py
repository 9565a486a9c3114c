"""Reports, boards, RFM."""

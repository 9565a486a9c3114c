"""话术库: what members say again and again, by folder and version; found by Chinese, pinyin and first letters."""

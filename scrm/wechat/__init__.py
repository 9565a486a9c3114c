"""WeChat beside WeCom: customer service (微信客服) and the Official Account (公众号), with replies by keyword."""

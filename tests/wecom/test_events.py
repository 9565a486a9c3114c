"""Every documented callback becomes its type with the values WeCom sent (docs 90239, 90240, 90970, 92130, 97299)."""

from datetime import UTC, datetime

import pytest

from scrm.callbacks.handlers import router
from scrm.callbacks.words import TITLES
from scrm.wecom.callback_xml import Unreadable
from scrm.wecom.events import TYPES, MemberChanged, parse_event, typed

CUSTOMER = "wmQx3bDAAA7kT0pYw2Lr9sEhVn5cJf8g"
GROUP = "wrQx3bDAAAgroup0001"
V1, V2 = "0f3a5c7e9b1d2f40617283940a5b6c7d", "a1b2c3d4e5f60718293a4b5c6d7e8f90"
PAIR = f"<UserID><![CDATA[u_wuhao]]></UserID><ExternalUserID><![CDATA[{CUSTOMER}]]></ExternalUserID>"
OF_PAIR = {"userid": "u_wuhao", "external_userid": CUSTOMER}
FROM_MEMBER = {"from_user": "u_wuhao", "agent_id": "1000021"}
BY_MEMBER = "<AgentID>1000021</AgentID><FromUserName><![CDATA[u_wuhao]]></FromUserName>"
CARD = "<TaskId>t-7</TaskId><ResponseCode>RC</ResponseCode>"

# (event, change type, its own elements, what is read)
SAMPLES = [
    (
        "change_external_contact", "add_external_contact",
        f"{PAIR}<State>expo-a</State><WelcomeCode><![CDATA[WC_1]]></WelcomeCode>",
        {**OF_PAIR, "state": "expo-a", "welcome_code": "WC_1", "is_half": False},
    ),
    ("change_external_contact", "add_external_contact", PAIR, {**OF_PAIR, "state": "", "welcome_code": ""}),
    ("change_external_contact", "add_half_external_contact", PAIR, {**OF_PAIR, "is_half": True}),
    ("change_external_contact", "edit_external_contact", PAIR, OF_PAIR),
    (
        "change_external_contact", "del_external_contact", f"{PAIR}<Source>DELETE_BY_TRANSFER</Source>",
        {**OF_PAIR, "is_by_transfer": True, "is_by_customer": False},
    ),
    ("change_external_contact", "del_external_contact", f"{PAIR}<Source></Source>", {"is_by_transfer": False}),
    ("change_external_contact", "del_follow_user", PAIR, {**OF_PAIR, "is_by_customer": True}),
    (
        "change_external_contact", "transfer_fail", f"<FailReason>customer_refused</FailReason>{PAIR}",
        {**OF_PAIR, "fail_reason": "customer_refused"},
    ),
    (
        "change_external_contact", "msg_audit_approved", f"{PAIR}<WelcomeCode>WC_3</WelcomeCode>",
        {**OF_PAIR, "welcome_code": "WC_3"},
    ),
    ("change_external_chat", "create", f"<ChatId>{GROUP}</ChatId>", {"chat_id": GROUP, "update_detail": ""}),
    ("change_external_chat", "", f"<ChatId>{GROUP}</ChatId>", {"chat_id": GROUP}),
    ("change_external_chat", "dismiss", f"<ChatId>{GROUP}</ChatId>", {"chat_id": GROUP}),
    (
        "change_external_chat", "update",
        f"<ChatId>{GROUP}</ChatId><UpdateDetail>add_member</UpdateDetail><JoinScene>3</JoinScene>"
        f"<MemChangeCnt>2</MemChangeCnt><MemChangeList><Item>{CUSTOMER}</Item><Item>u_wuhao</Item></MemChangeList>"
        f"<LastMemVer><![CDATA[{V1}]]></LastMemVer><CurMemVer>{V2}</CurMemVer>",
        {
            "chat_id": GROUP, "update_detail": "add_member", "join_scene": 3, "quit_scene": None, "changed_count": 2,
            "changed_members": (CUSTOMER, "u_wuhao"), "last_version": V1, "current_version": V2,
        },
    ),
    (
        "change_external_chat", "update",
        "<UpdateDetail>del_member</UpdateDetail><QuitScene><![CDATA[0]]></QuitScene>"
        f"<MemChangeList><Item>{CUSTOMER}</Item></MemChangeList>",
        {"update_detail": "del_member", "quit_scene": 0, "changed_members": (CUSTOMER,)},
    ),
    (
        "change_external_chat", "update",
        "<UpdateDetail>change_name</UpdateDetail><JoinScene>soon</JoinScene><MemChangeList></MemChangeList>",
        {"update_detail": "change_name", "join_scene": None, "changed_members": ()},
    ),
    ("change_external_chat", "update", "<UpdateDetail>change_owner</UpdateDetail>", {"update_detail": "change_owner"}),
    ("change_external_chat", "update", "<UpdateDetail>change_notice</UpdateDetail>", {"last_version": ""}),
    (
        "change_external_tag", "create", "<Id>etTag</Id><TagType>tag</TagType>",
        {"id": "etTag", "is_group": False, "strategy_id": ""},
    ),
    ("change_external_tag", "update", "<Id>st1</Id><TagType>tag</TagType><StrategyId>7</StrategyId>", {"strategy_id": "7"}),
    ("change_external_tag", "delete", "<Id>etG</Id><TagType>tag_group</TagType>", {"id": "etG", "is_group": True}),
    ("change_external_tag", "shuffle", "<Id><![CDATA[]]></Id>", {"id": "", "tag_type": ""}),
    ("customer_acquisition", "balance_low", "", {"expires_at": None}),
    ("customer_acquisition", "balance_exhausted", "", {}),
    ("customer_acquisition", "balance_increased", "", {}),
    (
        "customer_acquisition", "quota_expire_soon",
        "<ExpireTime>1785900000</ExpireTime><ExpireQuotaNum>120</ExpireQuotaNum>",
        {"expires_at": datetime.fromtimestamp(1785900000, UTC), "expiring_quota": 120},
    ),
    ("customer_acquisition", "link_unavailable", "<LinkId>ca1</LinkId>", {"link_id": "ca1"}),
    ("customer_acquisition", "delete_link", "<LinkId>ca1</LinkId>", {"link_id": "ca1"}),
    ("customer_acquisition", "open_profile", "<LinkId>ca1</LinkId><State>ad-7</State>", {"state": "ad-7"}),
    ("customer_acquisition", "friend_request", "<LinkId>ca1</LinkId>", {"link_id": "ca1", "state": ""}),
    ("customer_acquisition", "customer_start_chat", f"{PAIR}<LinkId>ca1</LinkId>", {**OF_PAIR, "link_id": "ca1"}),
    (
        "customer_acquisition", "message_from_customer", "<LinkId>ca1</LinkId><ChatKey>CK</ChatKey>",
        {"chat_key": "CK", "userid": ""},
    ),
    ("customer_acquisition", "del_follow_user", f"{PAIR}<LinkId>ca1</LinkId>", OF_PAIR),
    (
        "change_contact", "create_user",
        "<UserID>u_new</UserID><Name>陈岚</Name><Department>1,2</Department><MainDepartment>1</MainDepartment>"
        "<IsLeaderInDept>1,0</IsLeaderInDept><DirectLeader>u_wuhao,u_b</DirectLeader><Mobile></Mobile>"
        "<Gender>2</Gender><Status>1</Status><Alias>lan</Alias><ExtAttr><Item><Name>工号</Name></Item></ExtAttr>",
        {
            "userid": "u_new", "member_name": "陈岚", "departments": ("1", "2"), "main_department": "1",
            "is_leader_in_departments": ("1", "0"), "direct_leaders": ("u_wuhao", "u_b"), "mobile": "",
            "gender": 2, "status": 1, "alias": "lan", "position": None, "new_userid": "",
        },
    ),
    (
        "change_contact", "update_user", "<UserID>u_wuhao</UserID><NewUserID>wuhao</NewUserID>",
        {"new_userid": "wuhao", "departments": None, "member_name": None, "status": None},
    ),
    ("change_contact", "delete_user", "<UserID>u_wuhao</UserID>", {"userid": "u_wuhao"}),
    (
        "change_contact", "create_party", "<Id>8</Id><Name>直播组</Name><ParentId>3</ParentId><Order>100</Order>",
        {"id": "8", "department_name": "直播组", "parent_id": "3", "order": 100},
    ),
    ("change_contact", "update_party", "<Id>8</Id><ParentId>4</ParentId>", {"parent_id": "4", "department_name": None}),
    ("change_contact", "delete_party", "<Id>8</Id>", {"id": "8"}),
    (
        "change_contact", "update_tag",
        "<TagId>5</TagId><AddUserItems>u_a,u_b</AddUserItems><DelUserItems></DelUserItems><AddPartyItems>8</AddPartyItems>",
        {
            "tag_id": "5", "added_users": ("u_a", "u_b"), "removed_users": (), "added_departments": ("8",),
            "removed_departments": (),
        },
    ),
    ("subscribe", "", BY_MEMBER, FROM_MEMBER),
    ("unsubscribe", "", f"{BY_MEMBER}<EventKey></EventKey>", {**FROM_MEMBER, "event_key": ""}),
    ("enter_agent", "", BY_MEMBER, FROM_MEMBER),
    ("click", "", f"{BY_MEMBER}<EventKey>today</EventKey>", {"event_key": "today"}),
    ("view", "", "<EventKey>https://crm.example.com/?a=1&amp;b=2</EventKey>", {"event_key": "https://crm.example.com/?a=1&b=2"}),
    ("view_miniprogram", "", "<EventKey>pages/index</EventKey>", {"event_key": "pages/index"}),
    (
        "LOCATION", "", "<Latitude>23.104</Latitude><Longitude>113.320</Longitude><Precision>65.0</Precision>",
        {"latitude": 23.104, "longitude": 113.32, "precision": 65.0, "app_type": ""},
    ),
    *(
        (
            name, "",
            "<EventKey>k</EventKey><ScanCodeInfo><ScanType>qrcode</ScanType><ScanResult>1</ScanResult></ScanCodeInfo>",
            {"event_key": "k", "scan_type": "qrcode", "scan_result": "1"},
        )
        for name in ("scancode_push", "scancode_waitmsg")
    ),
    *(
        (
            name, "",
            "<SendPicsInfo><Count>2</Count><PicList><item><PicMd5Sum>aa</PicMd5Sum></item>"
            "<item><PicMd5Sum>bb</PicMd5Sum></item></PicList></SendPicsInfo>",
            {"count": 2, "md5_sums": ("aa", "bb")},
        )
        for name in ("pic_sysphoto", "pic_photo_or_album", "pic_weixin")
    ),
    (
        "location_select", "",
        "<SendLocationInfo><Location_X>23</Location_X><Location_Y>113</Location_Y><Scale>15</Scale>"
        "<Label>天河</Label><Poiname></Poiname></SendLocationInfo>",
        {"latitude": 23.0, "longitude": 113.0, "scale": 15, "label": "天河", "poi_name": ""},
    ),
    (
        "template_card_event", "",
        f"{BY_MEMBER}<EventKey>sop_done</EventKey>{CARD}<CardType>vote_interaction</CardType><SelectedItems>"
        "<SelectedItem><QuestionKey>q1</QuestionKey><OptionIds><OptionId>a</OptionId><OptionId>b</OptionId></OptionIds>"
        "</SelectedItem><SelectedItem><QuestionKey>q2</QuestionKey><OptionIds></OptionIds></SelectedItem>"
        "</SelectedItems>",
        {
            **FROM_MEMBER, "userid": "u_wuhao", "event_key": "sop_done", "task_id": "t-7", "response_code": "RC",
            "card_type": "vote_interaction", "selected": {"q1": ("a", "b"), "q2": ()},
        },
    ),
    ("template_card_event", "", CARD, {"task_id": "t-7", "selected": {}}),
    ("template_card_menu_event", "", CARD, {"task_id": "t-7", "response_code": "RC"}),
    ("taskcard_click", "", "<AgentId>7</AgentId><TaskId>t-7</TaskId>", {"agent_id": "7", "task_id": "t-7"}),
    (
        "open_approval_change", "",
        "<ApprovalInfo><ThirdNo>n1</ThirdNo><OpenSpStatus>2</OpenSpStatus></ApprovalInfo>",
        {"third_no": "n1", "status": 2},
    ),
    ("sys_approval_change", "", "<ApprovalInfo><SpNo>n2</SpNo></ApprovalInfo>", {"third_no": "n2", "status": None}),
    *(
        (name, "", "<AgentID>7</AgentID><EffectTime>1785900000</EffectTime>", {"agent_id": "7"})
        for name in (
            "share_agent_change", "share_chain_change", "inactive_alert", "close_inactive_agent",
            "reopen_inactive_agent", "low_active_alert", "low_active", "active_restored",
        )
    ),
    (
        "batch_job_result", "",
        "<BatchJob><JobId>S0</JobId><JobType>sync_user</JobType><ErrCode>0</ErrCode><ErrMsg>ok</ErrMsg></BatchJob>",
        {"job_id": "S0", "job_type": "sync_user", "errcode": 0, "errmsg": "ok"},
    ),
    ("upload_media_job_finish", "", "<JobId>jobid_1</JobId>", {"job_id": "jobid_1"}),
    ("kf_msg_or_event", "", "<Token>T</Token><OpenKfId>wk1</OpenKfId>", {"token": "T", "open_kfid": "wk1"}),
    (
        "kf_account_auth_change", "",
        "<AuthAddOpenKfId>wk1</AuthAddOpenKfId><AuthAddOpenKfId>wk2</AuthAddOpenKfId>",
        {"added": ("wk1", "wk2"), "removed": ()},
    ),
    ("msgaudit_notify", "", "<AgentID>2000004</AgentID>", {"agent_id": "2000004"}),
    ("change_domain_ip", "", "", {}),
    (
        "text", "", f"{BY_MEMBER}<Content>今日客户</Content><MsgId>7420011223344556677</MsgId>",
        {"userid": "u_wuhao", "content": "今日客户", "msg_id": "7420011223344556677"},
    ),
    ("image", "", "<PicUrl>http://p</PicUrl><MediaId>m</MediaId>", {"pic_url": "http://p", "media_id": "m"}),
    ("voice", "", "<MediaId>m</MediaId><Format>amr</Format>", {"media_id": "m", "format": "amr"}),
    ("video", "", "<MediaId>m</MediaId><ThumbMediaId>t</ThumbMediaId>", {"media_id": "m", "thumb_media_id": "t"}),
    ("location", "", "<Location_X>23</Location_X><Label>天河</Label>", {"latitude": 23.0, "label": "天河"}),
    ("link", "", "<Title>t</Title><Url>http://u</Url>", {"title": "t", "url": "http://u", "description": ""}),
]  # fmt: skip

MESSAGES = ("text", "image", "voice", "video", "location", "link")


def body(name: str, change_type: str, elements: str) -> bytes:
    """Element order is not stable: the head comes last here, and something unknown in the middle."""
    kind = f"<MsgType>{name}</MsgType>"
    if name not in MESSAGES:
        kind = f"<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{name}]]></Event>"
    if change_type:
        kind += f"<ChangeType>{change_type}</ChangeType>"
    return f"<xml>{elements}<Brand><New>1</New></Brand>{kind}<CreateTime>1784700000</CreateTime></xml>".encode()


@pytest.mark.parametrize(
    ("name", "change_type", "elements", "expected"), SAMPLES, ids=[f"{one[0]}-{one[1]}" for one in SAMPLES]
)
def test_a_documented_callback_is_read_whole(
    name: str, change_type: str, elements: str, expected: dict[str, object]
) -> None:
    told = typed(parse_event(body(name, change_type, elements)))
    assert told is not None
    assert told.created_at == datetime.fromtimestamp(1784700000, UTC)
    assert {key: getattr(told, key) for key in expected} == expected


def test_every_type_has_a_sample_and_every_known_event_a_handler_or_a_reason() -> None:
    known = {(name, change_type) for name, types in TYPES.items() for change_type in types}
    assert known == {(name, change_type) for name, change_type, _, _ in SAMPLES} == TITLES.keys()
    for name, change_type, elements, _ in SAMPLES:
        event = parse_event(body(name, change_type, elements))
        assert (router.find(event) is None) == router.is_unused(event), (name, change_type)


@pytest.mark.parametrize("names", [("change_the_world", ""), ("change_external_tag", "melt"), ("subscribe", "x")])
def test_what_the_documents_do_not_know_has_no_type(names: tuple[str, str]) -> None:
    assert typed(parse_event(body(*names, "<Id>1</Id>"))) is None


def test_elements_of_the_wrong_shape_are_read_as_absent() -> None:
    twisted = "<UserID><A>1</A></UserID><Status>one</Status><Department><B>2</B></Department><Gender></Gender>"
    told = typed(parse_event(body("change_contact", "update_user", twisted)))
    assert isinstance(told, MemberChanged)
    assert (told.userid, told.status, told.departments, told.gender) == ("", None, None, None)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(Unreadable):
        parse_event(b"<xml>" * 40 + b"</xml>" * 40)

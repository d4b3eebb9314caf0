"""Passwords that attackers try first: names, seasons and rows of the keyboard, in lower case, 8 characters and more.

What is shorter is refused by length alone, and repeated characters by the rule beside it (passwords.py).
"""

from __future__ import annotations

_LISTED = """
01011990 01012000 0123456789 11223344 112233445566 123123123 123321123 12341234 12345678 123456789 1234567890
12345678910 1234qwer 147258369 19801980 19901990 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qazxsw2 20002000
20202020 31122000 4rfv5tgb 5tgb6yhn 87654321 987654321 9876543210 a1234567 a12345678 a123456789 a1b2c3d4
aa123456 abc12345 abcd1234 abcdefgh abcdefghi access14 admin123 admin1234 adminadmin administrator andrew123
angel123 apple123 arsenal1 asdf1234 asdfghjk asdfghjkl ashley123 autumn2025 azerty123 azertyuiop babygirl
babygirl1 banana123 barcelona baseball baseball1 basketball batman123 blink182 buster123 butterfly butterfly1
changeme changeme1 changeme123 charlie1 cheese123 chelsea1 chocolate computer computer1 contrasena contraseña
cookie123 corvette daniel123 database default1 diamond1 dragon123 facebook facebook1 ferrari1 flower123 football
football1 freedom1 fussball garfield ginger123 google123 guest1234 hallo123 hallo1234 harley123 hello123
hello1234 hockey123 hunter123 ichliebedich iloveyou iloveyou1 iloveyou2 internet internet1 jennifer jessica1
jordan23 juventus killer123 letmein1 letmein123 letmeinnow linkedin liverpool login123 lovelove lovers123
maggie123 manchester marketd123 marketplace marketplace1 master123 mercedes metallica michael1 michelle
microsoft midnight monkey123 moonlight motdepasse mustang1 mypassword newpassword nopassword oldpassword
opensesame orange123 p@ssw0rd p@ssword pass1234 pass12345 passw0rd password password1 password12 password123
password1234 passwort passwort1 passwort123 pepper123 pokemon123 porsche911 princess princess1 q1w2e3r4
q1w2e3r4t5 qazwsxedc qwer1234 qwerty!@# qwerty12 qwerty123 qwerty1234 qwertyui qwertyuiop qwertz123 qwertzuiop
rainbow1 root1234 rootroot samsung1 samsung123 schatz123 secret123 secret1234 security1 server123 shadow123
shopping shopping1 snoopy123 soccer123 sommer2024 sommer2025 spiderman spring2025 starwars starwars1 summer2023
summer2024 summer2025 sunflower sunshine sunshine1 superman superman1 temp1234 test1234 test12345 testing123
testtest thepassword thomas123 tigger123 toor1234 topsecret trustno1 unicorn1 welcome1 welcome12 welcome123
welcome2024 welcome2025 whatever whatever1 willkommen willkommen1 windows10 winter2024 winter2025 yourpassword
zaq12wsx zaq1zaq1 zxasqw12 zxcvbnm1 zxcvbnm123
"""

COMMON_PASSWORDS = frozenset(_LISTED.split())

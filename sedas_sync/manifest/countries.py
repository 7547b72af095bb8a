"""Other names and codes of countries, to suggest the code that a manifest needs."""

from sedas_sync.model.similar import nearest

_NAMES = """
ABW AW, Aruba; AFG AF, Afghanistan; AGO AO, Angola; AIA AI, Anguilla; ALA AX, Åland Islands, Åland; ALB AL, Albania;
AND AD, Andorra; ARE AE, United Arab Emirates, UAE, Emirates; ARG AR, Argentina; ARM AM, Armenia; ASM AS, American
Samoa; ATA AQ, Antarctica; ATF TF, French Southern Territories; ATG AG, Antigua and Barbuda; AUS AU, Australia; AUT
AT, Austria; AZE AZ, Azerbaijan; BDI BI, Burundi; BEL BE, Belgium; BEN BJ, Benin; BFA BF, Burkina Faso; BGD BD,
Bangladesh; BGR BG, Bulgaria; BHR BH, Bahrain; BHS BS, Bahamas; BIH BA, Bosnia and Herzegovina, Bosnia; BLM BL, Saint
Barthélemy, St-Barthélemy; BLR BY, Belarus; BLZ BZ, Belize; BMU BM, Bermuda; BOL BO, Bolivia; BRA BR, Brazil; BRB BB,
Barbados; BRN BN, Brunei Darussalam, Brunei; BTN BT, Bhutan; BWA BW, Botswana; CAF CF, Central African Republic; CAN
CA, Canada; CHE CH, Switzerland, SUI, Schweiz; CHL CL, Chile; CHN CN, China, PRC; CIV CI, Côte d'Ivoire, Ivory Coast;
CMR CM, Cameroon; COD CD, DRC, DR Congo, Zaire, Congo-Kinshasa, Democratic Republic of the Congo; COG CG, Congo,
Congo-Brazzaville, Republic of the Congo; COK CK, Cook Islands; COL CO, Colombia; COM KM, Comoros; CPV CV, Cabo Verde,
Cape Verde; CRI CR, Costa Rica; CUB CU, Cuba; CUW CW, Curaçao; CYM KY, Cayman Islands; CYP CY, Cyprus; CZE CZ,
Czechia, Czech Republic; DEU DE, Germany, GER, Deutschland; DJI DJ, Djibouti; DMA DM, Dominica; DNK DK, Denmark, DEN;
DOM DO, Dominican Republic; DZA DZ, Algeria; ECU EC, Ecuador; EGY EG, Egypt; ERI ER, Eritrea; ESH EH, Western Sahara;
ESP ES, Spain, España; EST EE, Estonia; ETH ET, Ethiopia; FIN FI, Finland; FJI FJ, Fiji; FLK FK, Falkland Islands; FRA
FR, France; FRO FO, Faroe Islands; FSM FM, Micronesia; GAB GA, Gabon; GBR GB, United Kingdom, UK, Great Britain,
Britain, England, Scotland, Wales, Northern Ireland; GEO GE, Georgia; GGY GG, Guernsey; GHA GH, Ghana; GIN GN, Guinea;
GMB GM, Gambia; GNB GW, Guinea-Bissau; GNQ GQ, Equatorial Guinea; GRC GR, Greece, GRE, EL; GRD GD, Grenada; GRL GL,
Greenland; GTM GT, Guatemala; GUM GU, Guam; GUY GY, Guyana; HKG HK, Hong Kong; HMD HM, Heard Island and McDonald
Islands; HND HN, Honduras; HRV HR, Croatia, CRO; HTI HT, Haiti; HUN HU, Hungary; IDN ID, Indonesia; IMN IM, Isle of
Man; IND IN, India; IOT IO, British Indian Ocean Territory; IRL IE, Ireland, Eire, Republic of Ireland; IRN IR, Iran,
Persia; IRQ IQ, Iraq; ISL IS, Iceland; ISR IL, Israel; ITA IT, Italy; JAM JM, Jamaica; JEY JE, Jersey; JOR JO, Jordan;
JPN JP, Japan; KAZ KZ, Kazakhstan; KEN KE, Kenya; KGZ KG, Kyrgyzstan; KHM KH, Cambodia; KIR KI, Kiribati; KNA KN,
Saint Kitts and Nevis; KOR KR, South Korea, Korea, ROK; KWT KW, Kuwait; LAO LA, Laos, Lao People's Democratic
Republic; LBN LB, Lebanon; LBR LR, Liberia; LBY LY, Libya; LCA LC, Saint Lucia; LIE LI, Liechtenstein; LKA LK, Sri
Lanka, Ceylon; LSO LS, Lesotho; LTU LT, Lithuania; LUX LU, Luxembourg; LVA LV, Latvia; MAC MO, Macao; MAF MF, Saint
Martin, St-Martin; MAR MA, Morocco, MOR; MCO MC, Monaco; MDA MD, Moldova; MDG MG, Madagascar; MDV MV, Maldives; MEX
MX, Mexico; MHL MH, Marshall Islands; MKD MK, North Macedonia, Macedonia; MLI ML, Mali; MLT MT, Malta; MMR MM,
Myanmar, Burma; MNE ME, Montenegro; MNG MN, Mongolia; MNP MP, Northern Mariana Islands; MOZ MZ, Mozambique; MRT MR,
Mauritania; MSR MS, Montserrat; MUS MU, Mauritius; MWI MW, Malawi; MYS MY, Malaysia; NAM NA, Namibia; NCL NC, New
Caledonia; NER NE, Niger; NFK NF, Norfolk Island; NGA NG, Nigeria; NIC NI, Nicaragua; NIU NU, Niue; NLD NL,
Netherlands, Holland, The Netherlands, NED; NOR NO, Norway; NPL NP, Nepal; NRU NR, Nauru; NZL NZ, New Zealand; OMN OM,
Oman; PAK PK, Pakistan; PAN PA, Panama; PCN PN, Pitcairn; PER PE, Peru; PHL PH, Philippines; PLW PW, Palau; PNG PG,
Papua New Guinea; POL PL, Poland; PRI PR, Puerto Rico; PRK KP, North Korea, DPRK; PRT PT, Portugal, POR; PRY PY,
Paraguay; PSE PS, Palestine, Palestinian Territories; PYF PF, French Polynesia; QAT QA, Qatar; ROU RO, Romania,
Rumania; RUS RU, Russian Federation, Russia; RWA RW, Rwanda; SAU SA, Saudi Arabia, KSA; SDN SD, Sudan; SEN SN,
Senegal; SGP SG, Singapore; SGS GS, South Georgia and the South Sandwich Islands; SHN SH, Saint Helena; SLB SB,
Solomon Islands; SLE SL, Sierra Leone; SLV SV, El Salvador; SMR SM, San Marino; SOM SO, Somalia, Somaliland; SPM PM,
Saint Pierre and Miquelon; SRB RS, Serbia; SSD SS, South Sudan; STP ST, Sao Tome and Principe, São Tomé and Principe;
SUR SR, Suriname; SVK SK, Slovakia; SVN SI, Slovenia; SWE SE, Sweden; SWZ SZ, Eswatini, Swaziland; SXM SX, Sint
Maarten; SYC SC, Seychelles; SYR SY, Syria, Syrian Arab Republic; TCA TC, Turks and Caicos Islands; TCD TD, Chad; TGO
TG, Togo; THA TH, Thailand; TJK TJ, Tajikistan; TKM TM, Turkmenistan; TLS TL, Timor-Leste, East Timor; TON TO, Tonga;
TTO TT, Trinidad and Tobago; TUN TN, Tunisia; TUR TR, Türkiye, Turkey; TWN TW, Taiwan, Republic of China; TZA TZ,
Tanzania; UGA UG, Uganda; UKR UA, Ukraine; URY UY, Uruguay; USA US, United States, United States of America, America,
U.S.A., U.S.; UZB UZ, Uzbekistan; VAT VA, Holy See, Vatican, Vatican City; VCT VC, Saint Vincent and the Grenadines;
VEN VE, Venezuela; VGB VG, Virgin Islands; VIR VI; VNM VN, Vietnam, Viet Nam; VUT VU, Vanuatu; WLF WF, Wallis and
Futuna; WSM WS, Samoa; XKX Kosovo, XK, KOS; YEM YE, Yemen; ZAF ZA, South Africa, RSA; ZMB ZM, Zambia; ZWE ZW, Zimbabwe
"""
"""Each code of the map (ISO 3166-1 alpha-3) with the code of two letters, the English names, and what else is used."""


def suggested_code(text: str) -> str:
    """Return the end of a sentence about a text that is not a code: the code of the country that it names."""
    codes: dict[str, str] = {}
    for entry in " ".join(_NAMES.split()).split("; "):
        code, _, names = entry.partition(" ")
        codes |= dict.fromkeys(map(_folded, names.split(", ")), code)
    name = _folded(text.strip())
    # Names of a few letters are similar to many others.
    near = name if name in codes else nearest(name, codes, cutoff=0.8) if len(name) > _SHORT else None
    return "" if near is None else f"; for {text.strip()} write {codes[near]}"


def _folded(name: str) -> str:
    return name.casefold().replace(".", "")


_SHORT = 4
